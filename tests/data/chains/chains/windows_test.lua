-- SPDX-License-Identifier: MIT
chains "chains/windows.lua"

test("outside the window nothing fires", function() -- Monday 00:00 UTC is 01:00 in Stockholm
  given { app = "a", status = "ok" } expect_reload("b")
  finish("b")
  at("2026-01-05T05:00:00Z")
  given { app = "a", status = "ok" } expect_skip("outside its window") expect_nothing()
  at("2026-01-10T01:00:00Z") -- Saturday
  given { app = "a", status = "ok" } expect_nothing()
end)
test("over the change to summer time", function()
  at("2026-03-30T03:30:00Z") -- 05:30 there
  given { app = "a", status = "ok" } expect_reload("b")
  finish("b")
  at("2026-03-30T04:00:00Z") -- 06:00
  given { app = "a", status = "ok" } expect_nothing()
end)
test("or it waits until it opens, over midnight", function()
  given { app = "c", status = "ok" } expect_reload("d") -- 01:00 there
  finish("d")
  at("2026-01-05T01:30:00Z")
  given { app = "c", status = "ok" } expect_decision("deferred", "2026-01-05T21:00:00") expect_nothing()
  at("2026-01-05T20:59:59Z") expect_nothing()
  at("2026-01-05T21:00:00Z") expect_reload("d") expect_nothing()
end)
