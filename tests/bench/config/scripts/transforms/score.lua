-- SPDX-License-Identifier: MIT
-- Sends a number made from the id and gives the id back when the score came: the load client then sees that every row
-- was answered, once and in its place.
return {
  before = function(id) return tonumber(id:sub(4)) % 100 end,
  after = function(score, id) return score >= 0 and score <= 1 and id or "no score" end,
}
