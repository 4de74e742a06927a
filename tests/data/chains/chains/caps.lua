-- SPDX-License-Identifier: MIT
for _, n in ipairs { "a", "b", "c", "d", "e", "f" } do app(n) { connector = "prod", id = "id-" .. n } end
app "g" { connector = "other", id = "id-g" }
app "light" { connector = "prod", id = "id-light" }
app "heavy" { connector = "prod", id = "id-heavy", weight = 9 }
limit "prod" { in_flight = 3 }
chain "two" { in_flight = 2, on("a").ok { "b", "c", "d" } }
chain "tenant" { on("e").ok { "b", "c", "d", "light", "heavy", "g" } }
for i = 1, 3 do
  app("long" .. i) { connector = "prod", id = "id-long" .. i }
  app("other" .. i) { connector = "prod", id = "id-other" .. i }
end
chain "long" { on("long1").ok { "long2" }, on("long2").ok { "long3" } }
chain "other" { on("other1").ok { "other2" } }
