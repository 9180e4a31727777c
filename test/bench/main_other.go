//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "the bench needs Linux: it binds processes to cores, and reads their clocks and memory from the kernel")
	os.Exit(1)
}
