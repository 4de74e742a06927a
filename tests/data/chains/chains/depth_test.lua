-- SPDX-License-Identifier: MIT
chains "chains/depth.lua"

test("a cycle that is allowed ends at max_depth, and somebody is told", function()
  given { app = "a", status = "ok" } expect_reload("a")
  for i = 1, 2 do advance("2s") finish("a") expect_reload("a") end
  advance("2s") finish("a")
  expect_skip("depth 4 is beyond max_depth 3")
  expect_notify("alerts", "max_depth") expect_nothing()
end)
test("and its cooldown holds", function()
  given { app = "a", status = "ok" } expect_reload("a")
  finish("a") expect_skip("cooldown") expect_nothing()
end)
