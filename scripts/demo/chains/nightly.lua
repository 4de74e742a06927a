-- The demo's night: two sources, a report of both, and a second way when the rates cannot be had (here they never can).
app "extract"         { connector = "prod", id = "extract" }
app "customers"       { connector = "prod", id = "customers" }
app "fx rates"        { connector = "prod", id = "fx-rates" }
app "last week's fx"  { connector = "prod", id = "last-weeks-fx" }
app "report"          { connector = "prod", id = "report" }

chain "nightly" {
  on("extract").ok { "customers", "fx rates" },
  on("fx rates").error { "last week's fx" },
  all_of("customers", "last week's fx") { "report" },
}
