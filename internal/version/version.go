// Package version tells what a program was built from.
package version

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Unknown is the version of a program that was built from no module of a known version, such as one that go test has built.
const Unknown = "(devel)"

// Of returns the version of the module that the program was built from: that of the tag, such as v0.1.0, where Go's build was of a tag; a
// pseudo-version with commit and time of the commit elsewhere in a repository; and Unknown.
func Of() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return Unknown
}

// Line says it to people: the program, its version, and what built it for which platform.
func Line(program string) string {
	return fmt.Sprintf("%s %s, %s, %s/%s", program, Of(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// Asked tells whether the arguments of a program ask for its version, and for nothing else.
func Asked(arguments []string) bool {
	return len(arguments) == 1 && (arguments[0] == "--version" || arguments[0] == "-version")
}
