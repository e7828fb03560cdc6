// Package partitions runs shops whose streams of events are spread over several streams.
package partitions

import (
	"testing"

	"lonja/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
