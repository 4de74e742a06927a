-- SPDX-License-Identifier: MIT
test("a row for each item", function()
  local out = run {
    fn = "functions/split_list.lua", params = "key:str, list:str",
    rows = { { "a", "red; green" }, { "b", null }, { "c", ";blue;" } },
  }
  equal(out, { { "a", "red", 1 }, { "a", "green", 2 }, { "c", "blue", 2 } })
end)
