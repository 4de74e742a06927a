-- SPDX-License-Identifier: MIT
chains "chains/when.lua"

test("a condition decides, and says why", function()
  given { app = "a", status = "ok", duration_ms = 5 }
  expect_reload("b")
  expect_notify("alerts", "nothing starts") -- the one that raises
  expect_decision("raised", "chains/when.lua")
  expect_decision("deferred", "not yet")
  expect_nothing()
end)
test("no", function()
  given { app = "a", status = "ok", duration_ms = 700000 }
  expect_skip("in time")
  expect_notify("alerts")
  expect_nothing()
end)
test("defer asks again", function()
  given { app = "a", status = "error", duration_ms = 5 }
  advance("59s") expect_nothing()
  advance("1s") expect_decision("deferred", "not yet") expect_nothing()
end)
test("what is upstream, and arguments that are made", function()
  given { app = "a", status = "ok", duration_ms = 5 }
  expect_notify("alerts")
  finish("b")
  expect_reload("b") expect_reload("e")
  finish("e")
  expect_action("aws.create", { Name = "for reload.done", Depth = 2 })
end)
