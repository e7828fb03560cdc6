//go:build !linux

package baddisk

import "testing"

func inject(t testing.TB, fault Fault, file string) {
	t.Helper()
	t.Fatalf("baddisk: %s cannot be injected into %s: only Linux is supported", fault, file)
}
