#!/bin/sh
# A correct plugin that keeps a file for each container, which it first writes under another name.
[ "$CNI_COMMAND" = VERSION ] || read -r config
cd /var/lib/cni || exit 1
case $CNI_COMMAND in
VERSION) echo '{"cniVersion": "1.1.0", "supportedVersions": ["1.1.0"]}' ;;
ADD)
    echo taken > "$CNI_CONTAINERID.half"
    mv "$CNI_CONTAINERID.half" "$CNI_CONTAINERID"
    echo '{"cniVersion": "1.1.0", "interfaces": [{"name": "lo", "sandbox": "'"$CNI_NETNS"'"}]}'
    ;;
DEL) rm -f "$CNI_CONTAINERID" "$CNI_CONTAINERID.half" ;;
GC)
    for file in *; do
        case $config in *"\"${file%.half}\""*) ;; *) rm -f "$file" ;; esac
    done
    ;;
esac
