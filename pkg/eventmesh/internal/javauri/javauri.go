// Package javauri knows what EventMesh accepts as a URI: what Java's java.net.URI parses. That is RFC 2396 with some of RFC 2732 and
// of 3986, and letters beyond ASCII.
package javauri

import (
	"net/netip"
	"strconv"
	"strings"
	"unicode"
)

// What may stand in the parts of a URI, besides escapes and characters beyond ASCII, for which see consists.
const (
	digits     = "0123456789"
	alphanum   = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" + digits
	unreserved = alphanum + "-_.!~*'()"
	inScheme   = alphanum + "+-."
	inScopeID  = alphanum + "_."
)

var (
	inPath     = setOf(unreserved + ":@&=+$,;/")
	inRest     = setOf(unreserved + ";/?:@&=+$,[]") // queries, fragments, and all of what has no hierarchy
	inUserInfo = setOf(unreserved + ";:&=+$,")
	inRegistry = setOf(unreserved + "$,;:@&=+")
)

type set [unicode.MaxASCII + 1]bool

func setOf(characters string) *set {
	var s set
	for _, c := range characters {
		s[c] = true
	}
	return &s
}

// Valid tells whether java.net.URI accepts text, which is UTF-8.
func Valid(text string) bool {
	rest, fragment, _ := strings.Cut(text, "#")
	if !consists(fragment, inRest) {
		return false
	}
	if end := strings.IndexAny(rest, ":/?"); end >= 0 && rest[end] == ':' {
		scheme := rest[:end]
		if rest = rest[end+1:]; scheme == "" || !isLetter(scheme[0]) || strings.Trim(scheme, inScheme) != "" {
			return false
		}
		if !strings.HasPrefix(rest, "/") {
			return rest != "" && consists(rest, inRest)
		}
	}
	if rest == "//" && !strings.Contains(text, "#") {
		return false
	}
	path, query, _ := strings.Cut(rest, "?")
	if behind, found := strings.CutPrefix(path, "//"); found {
		authority, _, _ := strings.Cut(behind, "/")
		if path = behind[len(authority):]; !consists(authority, inRegistry) && !isServer(authority) {
			return false
		}
	}
	return consists(path, inPath) && consists(query, inRest)
}

// isServer tells of an authority whose host is an IPv6 address, for any other that is one is a registry's name too.
func isServer(authority string) bool {
	if userInfo, host, found := strings.Cut(authority, "@"); found {
		if !consists(userInfo, inUserInfo) {
			return false
		}
		authority = host
	}
	address, port, found := strings.Cut(strings.TrimPrefix(authority, "["), "]")
	if !found || authority[0] != '[' {
		return false
	}
	address, scope, scoped := strings.Cut(address, "%")
	if scoped && (scope == "" || strings.Trim(scope, inScopeID) != "") {
		return false
	}
	if ip, err := netip.ParseAddr(address); err != nil || !ip.Is6() {
		return false
	}
	port, found = strings.CutPrefix(port, ":")
	if !found || port == "" {
		return port == ""
	}
	_, err := strconv.ParseInt(port, 10, 32)
	return err == nil && strings.Trim(port, digits) == ""
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// consists tells whether a part of a URI holds nothing but the given characters, escapes, and letters and signs beyond ASCII.
func consists(part string, of *set) bool {
	for i, r := range part {
		switch {
		case r == '%':
			if len(part)-i < 3 || !isHex(part[i+1]) || !isHex(part[i+2]) {
				return false
			}
		case r > unicode.MaxASCII:
			if unicode.IsControl(r) || unicode.In(r, unicode.Z) {
				return false
			}
		case !of[r]:
			return false
		}
	}
	return true
}

func isHex(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f' }
