-- SPDX-License-Identifier: MIT
for _, n in ipairs { "a", "b", "c", "d", "e", "f" } do app(n) { connector = "prod", id = "id-" .. n } end
chain "strict" { adopt = false, on("a").ok { "b" }, on("b").ok { "c" } }
chain "open" { on("d").ok { "e" }, on("e").ok { "f" } }
