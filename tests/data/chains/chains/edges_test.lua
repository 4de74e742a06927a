-- SPDX-License-Identifier: MIT
chains "chains/edges.lua"

test("ok fires ok and always; two links of one app both fire", function()
  given(event { app = "a", status = "ok" })
  expect_reload("b") expect_reload("e") expect_reload("f") expect_nothing()
  expect_skip("it ended ok, and this is for error", "error")
  expect_skip("for canceled", "canceled")
end)
test("error", function()
  given { app = "a", status = "error" }
  expect_reload("c") expect_reload("e") expect_nothing()
end)
test("canceled", function()
  given { app = "a", status = "canceled" }
  expect_reload("d") expect_reload("e") expect_nothing()
end)
test("what is not known fires neither ok nor error", function()
  given { app = "a", status = "strange" }
  expect_reload("e") expect_nothing()
end)
test("the same reload is decided once, whatever tells of it", function()
  given { app = "a", status = "ok", reload_id = "r1" }
  expect_reload("b") expect_reload("e") expect_reload("f")
  given { app = "a", status = "ok", reload_id = "r1" }
  expect_nothing()
  given { app = "a", status = "ok", reload_id = "r1", id = "other delivery" }
  expect_nothing()
end)
test("the same event is one", function()
  given { app = "a", status = "ok", id = "e1" }
  expect_reload("b") expect_reload("e") expect_reload("f")
  given { app = "a", status = "ok", id = "e1" }
  expect_nothing()
end)
test("unlisted apps and types do nothing", function()
  given { connector = "prod", type = "reload", subject = "id-z", app_id = "id-z", status = "ok" }
  given { connector = "prod", type = "app_created", subject = "id-a", status = "ok" }
  given { connector = "other", type = "reload", subject = "id-a", app_id = "id-a", status = "ok" }
  expect_nothing()
end)
test("an engine's attempt that fails, and the reload that ends well", function()
  given { app = "a", status = "error", reload_id = "r1" } expect_reload("c") expect_reload("e") expect_nothing()
  given { app = "a", status = "ok", reload_id = "r1" } expect_reload("b") expect_reload("f") expect_nothing()
  given { app = "a", status = "ok", reload_id = "r1", id = "again" } expect_nothing()
end)
