-- SPDX-License-Identifier: MIT
chains "chains/reload_options.lua"

test("the app's, and a step's own over them; another tenant", function()
  given { app = "a", status = "ok" }
  expect_reload("b", { appId = "id-b", partial = true, weight = 4, variables = { vDay = "2026-01-01" } })
  expect_reload("c", { name = "Report", space = "Data prep" })
  expect_reload("far", { appId = "id-b" })
  given { app = "a", status = "error" }
  finish("b")
  expect_reload("b", { partial = false, weight = 5, variables = { vDay = "x" } })
end)
