-- SPDX-License-Identifier: MIT
chains "chains/wide.lua"

test('"*" is any app', function()
  given { app = "d", status = "error" } expect_notify("ops", "failed: id-d")
  given { app = "a", status = "error" } expect_notify("ops", "failed: id-a") expect_nothing()
  given { connector = "prod", type = "reload", subject = "id-zz", app_id = "id-zz", status = "error" } expect_nothing()
end)
test("scope = chain: ends count whoever started them", function()
  given { app = "a", status = "ok" } expect_reload("b") expect_reload("c")
  finish("b") expect_decision("counted", "1 of 3")
  given { app = "d", status = "ok" } expect_decision("counted", "2 of 3") expect_nothing()
  finish("c") expect_reload("e") expect_nothing()
end)
test("the cooldown of a chain is that of its links", function()
  given { app = "f", status = "ok" } expect_reload("g") finish("g")
  advance("9m") given { app = "f", status = "ok" } expect_skip("cooldown") expect_nothing()
  advance("1m") given { app = "f", status = "ok" } expect_reload("g")
end)
