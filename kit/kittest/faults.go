package kittest

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"lonja/kit/kittest/baddisk"
	"lonja/kit/natsembed"
)

// InjectFault makes the server's next write or sync of the stream's first block fail.
// That is the block in use, as long as a test publishes less than eight megabytes.
func (l *Log) InjectFault(fault baddisk.Fault) {
	l.t.Helper()
	baddisk.Inject(l.t, fault, filepath.Join(l.Dir, "jetstream", "$G", "streams", Stream, "msgs", "1.blk"))
}

// MakeUnreadable makes the disk fail to read all messages that the stream holds so far.
// The server is restarted at the same address. It knows that the messages exist, and
// finds none of them. Ten poison messages of a megabyte are added after them.
func (l *Log) MakeUnreadable() {
	l.t.Helper()
	for range 10 { // a block holds eight megabytes, and the server reads the last block when it starts
		l.Poison(addedSubject("unreadable"), strings.Repeat("x", 1<<20-1024))
	}
	l.restart()
	blocks, err := filepath.Glob(filepath.Join(l.Dir, "jetstream", "*", "streams", Stream, "msgs", "1.blk"))
	if err != nil || len(blocks) != 1 {
		l.t.Fatalf("blocks are %v, %v", blocks, err)
	}
	// Reading a folder as a file is an error, as reading from a bad disk is. The server
	// has opened the store by now, and has not read the block yet.
	if err := errors.Join(os.Remove(blocks[0]), os.Mkdir(blocks[0], 0o700)); err != nil {
		l.t.Fatal(err)
	}
	if err := l.Conn.ForceReconnect(); err != nil {
		l.t.Fatal(err)
	}
}

// Restart stops the server and starts it again on the same store and port.
func (l *Log) Restart() {
	l.t.Helper()
	l.restart()
	if err := l.Conn.ForceReconnect(); err != nil {
		l.t.Fatal(err)
	}
}

func (l *Log) restart() {
	l.t.Helper()
	l.Server.Stop()
	var err error
	if l.Server, err = natsembed.Start(natsembed.Config{Dir: l.Dir, Addr: strings.TrimPrefix(l.Server.URL(), "nats://"), SyncInterval: time.Minute}); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(l.Server.Stop)
}
