-- SPDX-License-Identifier: MIT
chains "chains/adopt.lua"

test("a reload by hand in the middle: the chain goes on, unless it is strict", function()
  given { app = "e", status = "ok" } expect_reload("f")
  given { app = "b", status = "ok" } expect_nothing()
  given { app = "a", status = "ok" } expect_reload("b")
  finish("b") expect_reload("c")
end)
