package main

import (
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of CPU times in /proc: USER_HZ is 100 on every Linux that matters.
const clockTick = 10 * time.Millisecond

// cpuTime returns the user and system time of a process so far.
func cpuTime(pid int) time.Duration {
	stat := read(fmt.Sprintf("/proc/%d/stat", pid))
	// The name of the command comes second, in brackets, and may have blanks in it.
	fields := strings.Fields(stat[strings.LastIndex(stat, ")")+1:])
	return time.Duration(number(fields[11])+number(fields[12])) * clockTick
}

// memoryMB returns a line of /proc/PID/status, such as VmRSS, in megabytes (10^6 bytes).
func memoryMB(pid int, name string) float64 {
	for _, line := range strings.Split(read(fmt.Sprintf("/proc/%d/status", pid)), "\n") {
		if rest, found := strings.CutPrefix(line, name+":"); found {
			return float64(number(strings.Fields(rest)[0])) * 1024 / 1e6
		}
	}
	return 0
}

func read(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		log.Fatalf("the server is gone: %v", err)
	}
	return string(text)
}

func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		log.Fatal(err)
	}
	return n
}
