-- Will a customer leave? The model takes four numbers and answers a probability; people want a word.
-- Arguments are the row's columns; null is nil.

local plans = { basic = 0, plus = 1, premium = 2 }

return {
    before = function(age, income, plan, months)
        local level = plan and plans[plan:lower()]
        if not level then return end -- an unknown plan: the row is answered null without a call
        return age, income / 1000, level, months
    end,

    after = function(score)
        return score > 0.5 and "leaves" or "stays"
    end,
}
