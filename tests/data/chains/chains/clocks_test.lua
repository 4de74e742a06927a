-- SPDX-License-Identifier: MIT
chains "chains/clocks.lua"

test("cron, in its zone", function()
  at("2026-01-05T01:29:59Z") expect_nothing()
  at("2026-01-05T01:30:00Z") expect_reload("a") finish("a") expect_reload("b") finish("b") expect_nothing()
end)
test("deadline: told once when it is late", function()
  at("2026-01-05T04:59:59Z") expect_reload("a") expect_nothing()
  at("2026-01-05T05:00:00Z") expect_notify("ops", "has not finished in time") expect_nothing()
  advance("10h") expect_nothing()
end)
test("deadline: not when it has ended well", function()
  at("2026-01-05T01:30:00Z") finish("a") finish("b") expect_reload("a") expect_reload("b")
  at("2026-01-05T05:00:00Z") expect_nothing()
  expect_skip("it ended well at 2026-01-05T01:30")
  at("2026-01-06T05:00:00Z") expect_reload("a") expect_notify("ops") -- yesterday's does not count
end)
test("deadline: an end that failed does not count", function()
  at("2026-01-05T01:30:00Z") finish("a") finish("b", "error") expect_reload("a") expect_reload("b")
  at("2026-01-05T05:00:00Z") expect_notify("ops")
end)
