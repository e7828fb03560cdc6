// Package recovery kills and freezes processes under load, and measures how soon
// orders progress again.
package recovery

import (
	"testing"

	"lonja/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
