-- Will a customer leave? The model takes four numbers and answers a probability.
-- Arguments are the row's columns; null is nil. Both functions of the demo use this file: one gives people a word,
-- the other the number itself.

local plans = { basic = 9, plus = 4, premium = 1.5 } -- how lightly a plan holds its customers

return {
    before = function(age, income, plan, months)
        local lightly = plan and plans[plan:lower()]
        if not lightly then return end -- an unknown plan: the row is answered null without a call
        return age, income, lightly, months
    end,

    after = function(score)
        if ctx["function"] == "churn_score" then return math.round(score, 4) end
        return score > 0.5 and "leaves" or "stays"
    end,
}
