// Command clock prints the time and how long a tenth of a second took.
package main

import (
	"fmt"
	"time"
)

func main() {
	began := time.Now()
	<-time.After(100 * time.Millisecond)
	fmt.Println(began.Unix(), time.Since(began).Milliseconds())
}
