package natsembed

import (
	"bytes"
	"os"
	"path/filepath"
)

// The index of a stream, index.db, ends with the checksum of the last message in its
// last block, and a checksum of its own.
const checksumSize = 8

// removeStaleIndexes removes the indexes of streams that say that there are no
// messages in the last block, although the last block holds something. The server
// then finds the messages in the blocks.
//
// The server writes an index when it stops, and hardly ever between. At a start it
// takes one for current if its checksum is what the last block ends with. An index
// without messages has zeros there. So does a block after a power cut, when the disk
// knows of a file's new size and has not written what is there; and the server would
// open the stream as empty, and store the next message over the others.
func removeStaleIndexes(dir string) error {
	indexes, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "*", "msgs", "index.db"))
	if err != nil {
		return err
	}
	for _, index := range indexes {
		data, err := os.ReadFile(index)
		if err != nil {
			return err
		}
		if len(data) < 2*checksumSize || !bytes.Equal(data[len(data)-2*checksumSize:][:checksumSize], make([]byte, checksumSize)) {
			continue
		}
		size, err := sizeOfLastBlock(filepath.Dir(index))
		if err == nil && size > 0 {
			err = os.Remove(index)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sizeOfLastBlock returns the size of the last block in a folder, 0 if there is none.
func sizeOfLastBlock(dir string) (size int64, err error) {
	entries, err := os.ReadDir(dir)
	last := 0
	for _, e := range entries {
		number := blockNumber(e.Name())
		if err != nil || number <= last {
			continue
		}
		var info os.FileInfo
		if info, err = e.Info(); err == nil {
			last, size = number, info.Size()
		}
	}
	return size, err
}
