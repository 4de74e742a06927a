-- SPDX-License-Identifier: MIT
-- An aggregate: the median of all rows of a call. Nulls do not count.
return {
  init = function() return {} end,
  step = function(values, x)
    if x then values[#values + 1] = x end
  end,
  final = function(values)
    local n = #values
    if n == 0 then return nil end
    table.sort(values)
    if n % 2 == 1 then return values[n // 2 + 1] end
    return (values[n // 2] + values[n // 2 + 1]) / 2
  end,
}
