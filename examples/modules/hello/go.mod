module propeller.dev/examples/hello

go 1.21
