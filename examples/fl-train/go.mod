module propeller.dev/examples/fl-train

go 1.21
