//go:build !linux

package baddisk

import "testing"

func put(t testing.TB, device, file string) {
	t.Fatalf("%s cannot be put in the place of %s on this system", device, file)
}
