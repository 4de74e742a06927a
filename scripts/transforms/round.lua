-- SPDX-License-Identifier: MIT
-- Scores with four digits, halves away from zero.
local DIGITS = 4

return {
  after = function(score) return math.round(score, DIGITS) end,
}
