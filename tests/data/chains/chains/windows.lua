-- SPDX-License-Identifier: MIT
for _, n in ipairs { "a", "b", "c", "d", "e", "f" } do app(n) { connector = "prod", id = "id-" .. n } end
chain "skip" { on("a").ok { "b", window = "mon-fri 01:00-06:00 Europe/Stockholm" } }
chain "wait" { window = { "22:00-02:00 Europe/Stockholm", "sat 12:00-13:00" }, outside = "wait", on("c").ok { "d" } }
