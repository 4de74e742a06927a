-- SPDX-License-Identifier: MIT
chains "chains/caps.lua"

test("a chain's own limit", function()
  given { app = "a", status = "ok" }
  expect_reload("b") expect_reload("c") expect_nothing()
  expect_decision("fired", "d: its chain runs 2 at once")
  finish("c") expect_reload("d") expect_nothing()
  finish("b") finish("d")
  expect_run("ok")
end)
test("a connector's limit, by weight; others go on", function()
  given { app = "e", status = "ok" }
  expect_reload("b") expect_reload("c") expect_reload("d") expect_reload("g", { appId = "id-g" }) expect_nothing()
  finish("c") expect_reload("heavy", { weight = 9 }) expect_nothing()
  finish("g") expect_nothing()
  finish("d") expect_reload("light") expect_nothing()
end)
test("an app is not reloaded twice at once: once more when it has ended", function()
  given { app = "a", status = "ok" } expect_reload("b") expect_reload("c")
  given { app = "e", status = "ok" } expect_decision("fired", "b: it is being reloaded")
  expect_reload("d") expect_reload("g") expect_nothing()
  finish("b") expect_reload("heavy") expect_nothing()
  finish("c") expect_reload("b")
end)
