-- SPDX-License-Identifier: MIT
for _, n in ipairs { "a", "b", "c", "d", "e", "f" } do app(n) { connector = "prod", id = "id-" .. n } end
app "g" { connector = "other", id = "id-g" }
app "light" { connector = "prod", id = "id-light" }
app "heavy" { connector = "prod", id = "id-heavy", weight = 9 }
limit "prod" { in_flight = 3 }
chain "two" { in_flight = 2, on("a").ok { "b", "c", "d" } }
chain "tenant" { on("e").ok { "b", "c", "d", "light", "heavy", "g" } }
