package streams_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/kittest"
)

const (
	plain      = "streams: [{name: THINGS, subjects: [things.>], storage: file}]"
	compressed = "streams: [{name: THINGS, subjects: [things.>], storage: file, compression: s2}]"
)

// A stream that holds messages can be compressed, and back: each block stays as it was written,
// and all can be read. What is deleted securely leaves a compressed block as well.
func TestApply_ChangesCompressionOfAStreamThatHoldsMessages(t *testing.T) {
	log := kittest.New(t)
	stored := func() []string {
		blocks, err := filepath.Glob(filepath.Join(log.Dir, "jetstream", "*", "streams", "THINGS", "msgs", "*.blk"))
		if err != nil {
			t.Fatal(err)
		}
		return blocks
	}
	isCompressed := func(block string) bool {
		data, err := os.ReadFile(block)
		return err == nil && bytes.HasPrefix(data, []byte("cmp"))
	}
	marker := make([]byte, 32<<10) // what cannot be compressed is found in a compressed block
	if _, err := rand.Read(marker); err != nil {
		t.Fatal(err)
	}
	if err := parse(t, plain).Apply(t.Context(), log.JS, 0); err != nil {
		t.Fatal(err)
	}
	fill(t, log.JS, 1)
	if isCompressed(stored()[0]) {
		t.Fatal("a block is compressed before it was asked for")
	}
	wantPlan(t, parse(t, compressed), log.JS, "update stream THINGS compression")
	if err := parse(t, compressed).Apply(t.Context(), log.JS, 0); err != nil {
		t.Fatal(err)
	}
	log.Restart() // the server heeds the change when it opens the stream
	ack, err := log.JS.Publish(t.Context(), "things.secret", marker)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, log.JS, 2)
	second := stored()[1]
	awaitTrue(t, "the second block is compressed", func() bool { return isCompressed(second) })
	if isCompressed(stored()[0]) || !found(t, stored(), marker) {
		t.Error("the first block is compressed, or the marker is not on the disk")
	}
	stream, err := log.JS.Stream(t.Context(), "THINGS")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SecureDeleteMsg(t.Context(), ack.Sequence); err != nil {
		t.Fatal(err)
	}
	if found(t, stored(), marker) {
		t.Error("what was deleted securely is still on the disk")
	}
	if err := parse(t, plain).Apply(t.Context(), log.JS, 0); err != nil {
		t.Fatal(err)
	}
	log.Restart()
	fill(t, log.JS, 3)
	end, err := log.End(t.Context(), "THINGS")
	if err != nil || end != 3*perFill+1 {
		t.Fatalf("the stream ends at %d, %v", end, err)
	}
	for seq := uint64(1); seq <= end; seq += 499 {
		if _, err := stream.GetMsg(t.Context(), seq); err != nil && seq != ack.Sequence {
			t.Errorf("message %d: %v", seq, err)
		}
	}
}

// perFill is how many messages fill one block of 8 MB and begin the next one.
const perFill = 9000

func fill(t *testing.T, js jetstream.JetStream, nth int) {
	t.Helper()
	for i := range perFill {
		body := strings.Repeat(fmt.Sprintf("thing %d. ", i), 150)[:960]
		if _, err := js.PublishAsync(fmt.Sprintf("things.%d.%d", nth, i), []byte(body), jetstream.WithStallWait(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-time.After(time.Minute):
		t.Fatal("the messages are not stored")
	}
}

// found reports whether one of the files holds some bytes.
func found(t *testing.T, files []string, what []byte) bool {
	t.Helper()
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, what[1000:1100]) {
			return true
		}
	}
	return false
}

func awaitTrue(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline, tick := time.After(time.Minute), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("it is not so that %s", what)
		}
	}
}
