-- The model's probability, rounded to four digits.

local plans = { basic = 0, plus = 1, premium = 2 }

return {
    before = function(age, income, plan, months)
        local level = plan and plans[plan:lower()]
        if not level then return end
        return age, income / 1000, level, months
    end,

    after = function(score)
        return math.floor(score * 1e4 + 0.5) / 1e4
    end,
}
