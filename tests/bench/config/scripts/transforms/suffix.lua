-- SPDX-License-Identifier: MIT
-- A new string per row: what a transform costs when it does something.
return {
  after = function(a) return a .. "!" end,
}
