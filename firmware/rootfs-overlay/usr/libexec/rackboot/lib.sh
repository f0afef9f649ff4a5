# For the init scripts: where things are on the board, and the words that they share.
# shellcheck shell=sh disable=SC2034 # others read what is set here
RUN=/run/rackboot
# There while the daemon answers; made and removed by rackboot-supervise.
SERVING=$RUN/serving
# There while a person is logged in without the daemon.
LOGIN=$RUN/login
# There where the button was held at power-on: factory network settings and no machines, until a change is kept.
RECOVERY=$RUN/recovery
# There from the moment when the board goes down.
STOPPING=$RUN/stopping
SOCKET=$RUN/control.sock
# What is wrong with the data disk, and on the second line what to do; board/health/ reads it.
TROUBLE=$RUN/data-disk-trouble
FACTORY=/usr/share/rackboot/factory.yaml
LOG_FIFO=$RUN/log.fifo
# No certificate, no volume and no lease goes to the card: what is relative to nothing is on the data disk.
export RACKBOOT_STORAGE=/data

# shellcheck disable=SC1091
. /usr/share/rackboot/layout.env
# Of this board, made by S03board: BOARD, UART, UART_SPEED, FAULT_LAMP or FAULT_LAMP_LOW, BUTTON, BUTTON_PRESSED, WATCHDOG.
BOARD_ENV=$RUN/board.env
# shellcheck disable=SC1090
[ -e "$BOARD_ENV" ] && . "$BOARD_ENV"

# To the log, and to the screen of who sits there before the menu is up.
say() {
  logger -t "${0##*/}" "$*" 2>/dev/null
  [ -e "$SERVING" ] || echo "$*" >"/dev/$UART" 2>/dev/null
}

is_mounted() { grep -q " $1 " /proc/mounts; }

# Of a file system's label, the device; nothing where there is none. `blkid -L` would remember devices that are gone.
device_labelled() { blkid -c /dev/null -o device -t "LABEL=$1" 2>/dev/null | head -n 1; }
