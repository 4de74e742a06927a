-- SPDX-License-Identifier: MIT
for _, n in ipairs { "a", "b", "c", "d", "e", "f" } do app(n) { connector = "prod", id = "id-" .. n } end
app "z" { connector = "prod", id = "id-z" }
chain "three" { all_of("a", "b", "c") { "z", within = "2h" } }
chain "diamond" { on("d").ok { "e", "f" }, all_of("e", "f") { notify "ops" } }
