// Package baddisk makes files of this process fail as those on a bad disk do, for
// tests that may not mount one.
package baddisk

import "testing"

// What fails, and how.
const (
	Full   = "/dev/full" // a write, with ENOSPC
	Unsafe = "/dev/null" // a sync, and what is written is gone
)

// Put puts a device in the place of a file that this process has open: what it
// writes there from now on goes to the device, and fails as the device does. The
// file on the disk stays as it is.
func Put(t testing.TB, device, file string) {
	t.Helper()
	put(t, device, file)
}
