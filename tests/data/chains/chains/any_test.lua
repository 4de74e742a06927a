-- SPDX-License-Identifier: MIT
chains "chains/any.lua"

test("any fires once in a run, two of three too", function()
  given { app = "a", status = "ok" }
  expect_reload("b") expect_reload("c") expect_reload("d")
  finish("c") expect_reload("e") expect_nothing()
  finish("b") expect_reload("f") expect_nothing()
  finish("d") expect_nothing()
  expect_skip("fired in this run already")
end)
test("and once in the next", function()
  given { app = "a", status = "ok" }
  finish("b") finish("c") finish("d") finish("e") finish("f")
  expect_run("ok")
  given { app = "a", status = "ok" }
  finish("b") finish("d")
  expect_reload("e") expect_reload("f")
  expect_reload("e") expect_reload("f")
end)
test("one that failed does not count", function()
  given { app = "a", status = "ok" }
  expect_reload("b") expect_reload("c") expect_reload("d")
  finish("b", "error") expect_nothing()
  finish("c") expect_reload("e") expect_nothing()
  finish("d") expect_reload("f")
end)
