// A greeting from Go, with what a guest can see of the world: its arguments and its environment.
//
// Exit: 0.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"strings"
)

func main() {
	fmt.Printf("hello from Go on %s/%s\n", runtime.GOOS, runtime.GOARCH)
	fmt.Printf("arguments: %s\n", strings.Join(os.Args[1:], " "))

	names := make([]string, 0)
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		names = append(names, name)
	}
	sort.Strings(names)
	fmt.Printf("environment: %s\n", strings.Join(names, " "))
}
