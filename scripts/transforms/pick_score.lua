-- SPDX-License-Identifier: MIT
-- One score out of a JSON answer such as {"predictions": [{"score": 0.98, "predicted_label": 1}]}.
return {
  after = function(answer)
    local ok, doc = pcall(json.decode, answer)
    if not ok or type(doc) ~= "table" then fail("the answer is not a JSON object: " .. answer:sub(1, 64)) end
    local first = doc.predictions and doc.predictions[1] or doc
    local score = type(first) == "table" and (first.score or first.probability) or nil
    if type(score) ~= "number" then fail("there is no score in the answer: " .. answer:sub(1, 64)) end
    return score
  end,
}
