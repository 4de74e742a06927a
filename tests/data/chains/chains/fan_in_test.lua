-- SPDX-License-Identifier: MIT
chains "chains/fan_in.lua"

local orders = { { "a", "b", "c" }, { "c", "b", "a" }, { "b", "a", "c" } }
for _, o in ipairs(orders) do
  test("all of three, in the order " .. table.concat(o), function()
    given { app = o[1], status = "ok" } expect_nothing()
    expect_decision("counted", "1 of 3")
    given { app = o[2], status = "ok" } expect_nothing()
    given { app = o[3], status = "ok" } expect_reload("z") expect_nothing()
    -- and anew
    given { app = o[3], status = "ok" } expect_nothing()
    expect_decision("counted", "1 of 3")
  end)
end
test("an error voids what its app had given", function()
  given { app = "a", status = "ok" }
  given { app = "a", status = "error" }
  expect_skip("counts no more")
  given { app = "b", status = "ok" }
  given { app = "c", status = "ok" } expect_nothing()
  given { app = "a", status = "ok" } expect_reload("z")
end)
test("within: what is older than the window counts no more, and somebody is told once", function()
  given { app = "a", status = "ok" }
  given { app = "b", status = "ok" }
  advance("121m")
  expect_notify("alerts", "window of 2 h is over")
  expect_skip("is over with 2 of 3")
  given { app = "c", status = "ok" } expect_nothing()
  given { app = "a", status = "ok" }
  given { app = "b", status = "ok" } expect_reload("z")
  advance("10h")
  expect_nothing()
end)
test("a diamond counts in each run by itself", function()
  given { app = "d", status = "ok" }
  expect_reload("e") expect_reload("f")
  finish("e")
  expect_decision("counted")
  finish("f")
  expect_notify("ops") expect_nothing()
  expect_run("ok")
end)
