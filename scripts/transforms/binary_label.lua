-- SPDX-License-Identifier: MIT
-- A probability becomes a word: Malignant above one half, Benign otherwise. Copy it and change the three lines.
local THRESHOLD = 0.5
local ABOVE = "Malignant"
local BELOW = "Benign"

return {
  after = function(score)
    return score > THRESHOLD and ABOVE or BELOW
  end,
}
