-- SPDX-License-Identifier: MIT
local function lines(rows)
  local sent = {}
  local out = run {
    transform = "transforms/csv_join.lua", params = "age:num, plan:str", rows = rows, raw = true,
    answer = function(got)
      for i = 1, #got do sent[i] = got[i][1] end
      return sent
    end,
  }
  return sent, out
end

test("joined with commas", function()
  equal(lines { { 30, "gold" }, { 1.5, "iron" } }, { "30,gold", "1.5,iron" })
end)

test("quotes, commas and line ends are quoted", function()
  equal(lines { { 1, 'say "hi", twice' }, { 2, "two\nlines" } }, { '1,"say ""hi"", twice"', '2,"two\nlines"' })
end)

test("null is an empty field", function()
  equal(lines { { null, "gold" }, { 4, null } }, { ",gold", "4," })
end)

test("a row without values is not sent and stays null", function()
  local sent, out = lines { { null, null }, { 5, "x" } }
  equal(sent, { "5,x" })
  equal(out, { null, "5,x" })
end)
