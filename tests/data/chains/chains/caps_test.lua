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
test("room that a step leaves is of those that have waited, not of what follows it", function()
  given { app = "e", status = "ok" }
  expect_reload("b") expect_reload("c") expect_reload("d") expect_reload("g")
  given { app = "long1", status = "ok" } given { app = "other1", status = "ok" } expect_nothing()
  finish("b") expect_reload("long2") expect_nothing() -- runs that have none go first
  finish("long2") expect_decision("fired", "starts long3")
  expect_reload("other2") expect_nothing()
  finish("other2") expect_reload("long3") expect_nothing()
end)
test("canceling a run, or resuming one, keeps the limits", function()
  given { app = "e", status = "ok" }
  expect_reload("b") expect_reload("c") expect_reload("d") expect_reload("g")
  given { app = "long1", status = "ok" } expect_nothing()
  cancel() expect_nothing() -- the second run, which waits
  finish("b") expect_reload("heavy") finish("heavy") expect_reload("light")
  finish("light") finish("c") finish("d") finish("g")
  given { app = "e", status = "ok" }
  for _, a in ipairs { "b", "c", "d", "g" } do expect_reload(a) finish(a, "error") end
  expect_reload("heavy") expect_reload("light") finish("heavy", "error") finish("light", "error")
  expect_run("failed")
  resume() expect_reload("g") expect_reload("heavy") expect_reload("b") expect_reload("c") expect_nothing()
  finish("b") expect_reload("d") expect_nothing()
end)
