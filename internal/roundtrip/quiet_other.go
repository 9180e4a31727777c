//go:build !unix

package roundtrip

// quiet cannot tell.
func (c *conn) quiet() bool { return true }
