-- SPDX-License-Identifier: MIT
-- The columns of a row as one line of CSV, quoted where it must be: for endpoints that take their features as one text
-- (use it with body = raw). A row without any value is not sent.
return {
  before = function(...)
    for i = 1, select("#", ...) do
      local v = select(i, ...)
      if v ~= nil and v ~= "" then return csv.format(...) end
    end
  end,
}
