-- SPDX-License-Identifier: MIT
-- A table function: a key and a list such as "red; green" become one row for each item.
return {
  columns = { "key:str", "item:str", "position:num" },
  step = function(emit, key, list)
    for i, item in ipairs((list or ""):split(";")) do
      item = item:trim()
      if item ~= "" then emit(key, item, i) end
    end
  end,
}
