-- SPDX-License-Identifier: MIT
for _, n in ipairs { "a", "b", "c", "d", "e", "f" } do app(n) { connector = "prod", id = "id-" .. n } end
app "shaky" { connector = "prod", id = "id-shaky", retry = { max = 2, backoff = "30s", factor = 3, cap = "1m" } }
chain "x" { on("a").ok { "shaky" }, on("shaky").error { notify "ops" }, on("shaky").ok { "b" } }
chain "y" { on("c").ok { reload { "d", retry = 1 } }, on("d").error { "e" } }
