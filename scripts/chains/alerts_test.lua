-- SPDX-License-Identifier: MIT
chains("chains/alerts.lua", "chains/paper.lua")

test("a failed reload is told, with why", function()
  given(event { app = "test app2", status = "error", app_name = "Sales", error_message = "field not found" })
  expect_notify("ops", "Reload of Sales failed: field not found")
  expect_nothing()
end)

test("many within a minute are told once", function()
  given(event { app = "test app2", status = "error" })
  expect_notify("ops", "failed")
  given(event { app = "test app5", status = "error" })
  expect_skip("cooldown")
  expect_nothing()
  advance("61s")
  given(event { app = "test app5", status = "error" })
  expect_notify("ops")
end)

test("a good one is not", function()
  given(event { app = "test app2", status = "ok" })
  expect_nothing()
end)
