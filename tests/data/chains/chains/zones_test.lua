-- SPDX-License-Identifier: MIT
chains "chains/zones.lua"

test("a time that the change to summer time skips comes once, right after", function()
  at("2026-03-29T00:59:59Z") expect_nothing() -- 01:59:59 there
  at("2026-03-29T01:00:00Z") expect_reload("a") finish("a") expect_nothing() -- 03:00
  at("2026-03-29T01:30:00Z") expect_nothing()
  at("2026-03-30T12:00:00Z") expect_nothing()
end)
test("a time that the change back repeats comes once", function()
  at("2026-10-25T00:29:59Z") expect_reload("a") finish("a") expect_nothing() -- the one of March
  at("2026-10-25T00:30:00Z") expect_reload("b") finish("b") expect_nothing() -- 02:30, summer time
  at("2026-10-25T01:30:00Z") expect_nothing() -- 02:30 once more
end)
