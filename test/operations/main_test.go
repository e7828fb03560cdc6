// Package operations does what an operator does from a terminal: audit, timeline,
// rebuild, passwords, streams, backup and restore.
package operations

import (
	"testing"

	"lonja/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
