package natsembed

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// A power cut may leave a block with its new size, and zeros or nonsense where the
// disk has not written what was not synced. Everything that was is still there, also
// when the server last stopped before the first message, so that the index of the
// stream knows of none.
func TestStart_FindsSyncedMessagesBeforeATornEnd(t *testing.T) {
	torn := map[string]string{
		"whole":    "",
		"zeros":    string(make([]byte, 5000)),
		"few":      "\x00\x00\x00",
		"eight":    "\x00\x00\x00\x00\x00\x00\x00\x00",
		"nonsense": "and some more that is no message",
	}
	for name, end := range torn {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			before := start(t, Config{Dir: dir, SyncAlways: true})
			before.createStream()
			before.Stop() // writes the index

			running := start(t, Config{Dir: dir, SyncAlways: true})
			var bodies []string
			for i := range 20 {
				bodies = append(bodies, fmt.Sprint("message ", i))
				running.publish(bodies[i])
			}
			left := t.TempDir() // what the power cut leaves
			if err := os.CopyFS(left, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			appendTo(t, filepath.Join(left, "jetstream", "$G", "streams", "S", "msgs", "1.blk"), end)

			after := start(t, Config{Dir: left, SyncAlways: true})
			after.wantMessages(bodies)
			if seq := after.publish("the next one"); seq != 21 {
				t.Errorf("the next message has sequence %d, after 20 messages", seq)
			}
		})
	}
}

func appendTo(t *testing.T, path, data string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(data); err != nil {
		t.Fatal(err)
	}
}

// An index of a stream whose messages are all deleted is not stale: it knows where
// the sequence goes on.
func TestStart_KeepsTheSequenceOfAnEmptiedStream(t *testing.T) {
	dir := t.TempDir()
	s := start(t, Config{Dir: dir, SyncAlways: true})
	s.createStream()
	for i := range 3 {
		s.publish(fmt.Sprint("message ", i))
	}
	stream, err := s.js.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context(), jetstream.WithPurgeSubject("s.x")); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	again := start(t, Config{Dir: dir, SyncAlways: true})
	if seq := again.publish("the next one"); seq != 4 {
		t.Errorf("the next message has sequence %d, after 3 messages", seq)
	}
}
